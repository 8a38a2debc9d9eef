# Redis as a cache: what does not fit is evicted, nothing is kept over a restart.
resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnets
}

resource "aws_security_group" "this" {
  name   = "${var.name}-cache"
  vpc_id = var.network

  ingress {
    description     = "From the cluster's nodes only."
    from_port       = 6379
    to_port         = 6379
    protocol        = "tcp"
    security_groups = [var.clients]
  }
}

resource "aws_elasticache_parameter_group" "this" {
  name   = var.name
  family = "redis7"

  parameter {
    name  = "maxmemory-policy"
    value = "allkeys-lfu"
  }
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id       = var.name
  description                = "Shared cache of ${var.name}"
  engine                     = "redis"
  engine_version             = "7.1"
  node_type                  = var.size
  num_cache_clusters         = var.copies
  automatic_failover_enabled = var.copies > 1
  at_rest_encryption_enabled = true
  parameter_group_name       = aws_elasticache_parameter_group.this.name
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
}

variable "name" {
  description = "What everything is called."
  type        = string
}

variable "network" {
  description = "The network."
  type        = string
}

variable "subnets" {
  description = "Where it is."
  type        = list(string)
}

variable "clients" {
  description = "Security group of those that may ask."
  type        = string
}

variable "size" {
  description = "Class of the nodes."
  type        = string
}

variable "copies" {
  description = "Nodes; with more than one another takes over."
  type        = number
}

output "address" {
  description = "HOST of the node that is written to."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}
