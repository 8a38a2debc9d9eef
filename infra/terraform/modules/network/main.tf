# A network of its own: load balancers in public subnets, nodes in private ones, stores where nothing leads out.
resource "aws_vpc" "this" {
  cidr_block           = var.range
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

data "aws_availability_zones" "here" {
  state = "available"
}

resource "aws_subnet" "public" {
  count             = length(var.public)
  vpc_id            = aws_vpc.this.id
  cidr_block        = var.public[count.index]
  availability_zone = data.aws_availability_zones.here.names[count.index]
  tags              = { Name = "${var.name}-public-${count.index}", "kubernetes.io/role/elb" = "1" }
}

resource "aws_subnet" "private" {
  count             = length(var.private)
  vpc_id            = aws_vpc.this.id
  cidr_block        = var.private[count.index]
  availability_zone = data.aws_availability_zones.here.names[count.index]
  tags              = { Name = "${var.name}-private-${count.index}", "kubernetes.io/role/internal-elb" = "1" }
}

resource "aws_subnet" "stores" {
  count             = length(var.stores)
  vpc_id            = aws_vpc.this.id
  cidr_block        = var.stores[count.index]
  availability_zone = data.aws_availability_zones.here.names[count.index]
  tags              = { Name = "${var.name}-stores-${count.index}" }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_eip" "out" {
  domain = "vpc"
}

resource "aws_nat_gateway" "out" {
  allocation_id = aws_eip.out.id
  subnet_id     = aws_subnet.public[0].id
  depends_on    = [aws_internet_gateway.this]
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this.id
  }
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id

  route {
    cidr_block     = "0.0.0.0/0"
    nat_gateway_id = aws_nat_gateway.out.id
  }
}

resource "aws_route_table_association" "public" {
  count          = length(var.public)
  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table_association" "private" {
  count          = length(var.private)
  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private.id
}

variable "name" {
  description = "What everything is called."
  type        = string
}

variable "range" {
  description = "All addresses."
  type        = string
}

variable "public" {
  description = "A subnet a zone for load balancers."
  type        = list(string)
}

variable "private" {
  description = "A subnet a zone for nodes."
  type        = list(string)
}

variable "stores" {
  description = "A subnet a zone for databases and caches."
  type        = list(string)
}

output "id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "private" {
  description = "Subnets of nodes."
  value       = aws_subnet.private[*].id
}

output "stores" {
  description = "Subnets of stores."
  value       = aws_subnet.stores[*].id
}
