# PostgreSQL, encrypted, backed up, never reachable from outside; its password is made and kept by the cloud.
resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnets
}

resource "aws_security_group" "this" {
  name   = "${var.name}-database"
  vpc_id = var.network

  ingress {
    description     = "From the cluster's nodes only."
    from_port       = 5432
    to_port         = 5432
    protocol        = "tcp"
    security_groups = [var.clients]
  }
}

# Statements for the database board (infra/postgres-exporter/queries.yml).
resource "aws_db_parameter_group" "this" {
  name   = var.name
  family = "postgres17"

  parameter {
    name         = "shared_preload_libraries"
    value        = "pg_stat_statements"
    apply_method = "pending-reboot"
  }

  # The server is built without TLS to PostgreSQL; the subnets of stores lead nowhere else.
  parameter {
    name  = "rds.force_ssl"
    value = "0"
  }
}

resource "aws_db_instance" "this" {
  identifier                   = var.name
  engine                       = "postgres"
  engine_version               = "17"
  instance_class               = var.size
  allocated_storage            = 50
  max_allocated_storage        = 500
  storage_encrypted            = true
  db_name                      = "offgridflow"
  username                     = "offgridflow"
  manage_master_user_password  = true
  multi_az                     = var.copies > 1
  db_subnet_group_name         = aws_db_subnet_group.this.name
  vpc_security_group_ids       = [aws_security_group.this.id]
  parameter_group_name         = aws_db_parameter_group.this.name
  backup_retention_period      = 14
  deletion_protection          = true
  final_snapshot_identifier    = "${var.name}-last"
  performance_insights_enabled = true
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
  description = "Class of the instance."
  type        = string
}

variable "copies" {
  description = "More than one: a copy stands by in another zone."
  type        = number
}

output "address" {
  description = "HOST:PORT."
  value       = aws_db_instance.this.endpoint
}

output "secret" {
  description = "Where its password is kept."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}
