# What an environment is called and how its addresses are cut, before there is a cloud: no provider, so it is applied and tested anywhere.
terraform {
  required_version = ">= 1.6"
}

locals {
  name = "offgridflow-${var.environment}"

  # Nodes take most: every pod needs an address. Load balancers take less, stores little.
  public  = [for index in range(var.zones) : cidrsubnet(var.range, 4, index)]
  private = [for index in range(var.zones) : cidrsubnet(var.range, 3, index + 4)]
  stores  = [for index in range(var.zones) : cidrsubnet(var.range, 6, index + 16)]

  sizes = {
    staging    = { database = "db.t4g.small", cache = "cache.t4g.micro", nodes = { least = 2, most = 3 }, copies = 1 }
    production = { database = "db.m7g.large", cache = "cache.m7g.large", nodes = { least = 3, most = 8 }, copies = 2 }
  }

  layout = {
    name        = local.name
    environment = var.environment
    # As in infra/overlays: the namespace of the environment.
    namespace    = var.environment == "production" ? "offgridflow" : local.name
    range        = var.range
    public       = local.public
    private      = local.private
    stores       = local.stores
    sizes        = local.sizes[var.environment]
    repositories = [for role in ["api", "worker", "web"] : "offgridflow/${role}"]
  }
}

# Kept in the state, so that a change of the layout is a change that `plan` shows before networks move.
resource "terraform_data" "layout" {
  input = local.layout
}
