# An environment at AWS, as infra/terraform/layout says. Formatted and parsed here, with every variable accounted for; nobody has planned or applied it.
terraform {
  required_version = ">= 1.6"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }

  # Somewhere that is shared and locked: terraform init -backend-config=…
  backend "s3" {}
}

provider "aws" {
  region = var.region

  default_tags {
    tags = { application = "offgridflow", environment = local.layout.environment }
  }
}

module "layout" {
  source      = "../layout"
  environment = var.environment
  range       = var.range
}

locals {
  layout = module.layout.layout
}

module "network" {
  source  = "../modules/network"
  name    = local.layout.name
  range   = local.layout.range
  public  = local.layout.public
  private = local.layout.private
  stores  = local.layout.stores
}

module "cluster" {
  source    = "../modules/cluster"
  name      = local.layout.name
  subnets   = module.network.private
  operators = var.operators
  nodes     = local.layout.sizes.nodes
}

module "database" {
  source  = "../modules/database"
  name    = local.layout.name
  network = module.network.id
  subnets = module.network.stores
  clients = module.cluster.clients
  size    = local.layout.sizes.database
  copies  = local.layout.sizes.copies
}

module "cache" {
  source  = "../modules/cache"
  name    = local.layout.name
  network = module.network.id
  subnets = module.network.stores
  clients = module.cluster.clients
  size    = local.layout.sizes.cache
  copies  = local.layout.sizes.copies
}

module "registry" {
  source       = "../modules/registry"
  repositories = local.layout.repositories
}

variable "environment" {
  description = "Which one: staging or production."
  type        = string
}

variable "region" {
  description = "Where."
  type        = string
}

variable "range" {
  description = "Private addresses of the environment."
  type        = string
  default     = "10.20.0.0/16"
}

variable "operators" {
  description = "Addresses from which the cluster's API is reached."
  type        = list(string)
}

output "registry" {
  description = "REGISTRY of `make docker-push` and `make k8s-deploy`."
  value       = module.registry.url
}

output "cluster" {
  description = "For `aws eks update-kubeconfig --name`."
  value       = module.cluster.name
}

output "stores" {
  description = "For the Secret (infra/k8s/secrets.example.yaml)."
  value       = { database = module.database.address, password = module.database.secret, cache = module.cache.address }
}
