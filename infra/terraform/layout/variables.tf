variable "environment" {
  description = "Which one: staging or production."
  type        = string

  validation {
    condition     = contains(["staging", "production"], var.environment)
    error_message = "There are two environments: staging and production, as in infra/overlays."
  }
}

variable "range" {
  description = "Private addresses of the environment. No two environments that may ever be joined share any."
  type        = string
  default     = "10.20.0.0/16"

  validation {
    condition     = can(cidrhost(var.range, 0)) && tonumber(split("/", var.range)[1]) <= 20
    error_message = "A range such as 10.20.0.0/16, of at least 4096 addresses: a smaller one has no room for pods in three zones."
  }
}

variable "zones" {
  description = "In how many zones nodes and stores are."
  type        = number
  default     = 3

  validation {
    condition     = var.zones >= 2 && var.zones <= 3 && floor(var.zones) == var.zones
    error_message = "Two zones or three: with one a fault of it is a fault of everything, and the range is cut for three."
  }
}
