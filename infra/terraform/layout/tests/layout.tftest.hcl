# `terraform test`: applied in memory, with no provider.
run "staging" {
  variables {
    environment = "staging"
  }

  assert {
    condition     = output.layout.namespace == "offgridflow-staging"
    error_message = "The namespace is not the one of infra/overlays/staging."
  }

  assert {
    condition     = length(distinct(concat(output.layout.public, output.layout.private, output.layout.stores))) == 9
    error_message = "Two subnets are the same."
  }

  assert {
    condition     = output.layout.public == ["10.20.0.0/20", "10.20.16.0/20", "10.20.32.0/20"]
    error_message = "The public subnets are cut otherwise."
  }

  assert {
    condition     = output.layout.private == ["10.20.128.0/19", "10.20.160.0/19", "10.20.192.0/19"]
    error_message = "The private subnets are cut otherwise."
  }

  # Between the public ones, which end at .47, and the private ones, which begin at .128.
  assert {
    condition     = output.layout.stores == ["10.20.64.0/22", "10.20.68.0/22", "10.20.72.0/22"]
    error_message = "The stores' subnets are cut otherwise."
  }
}

run "production_has_copies" {
  variables {
    environment = "production"
    range       = "10.30.0.0/16"
  }

  assert {
    condition     = output.layout.namespace == "offgridflow" && output.layout.sizes.copies == 2
    error_message = "Production is not what infra/overlays/production says, or its database has no copy."
  }
}

run "an_environment_that_there_is_not" {
  command = plan

  variables {
    environment = "prod"
  }

  expect_failures = [var.environment]
}

run "a_range_without_room" {
  command = plan

  variables {
    environment = "staging"
    range       = "10.20.0.0/24"
  }

  expect_failures = [var.range]
}

run "one_zone" {
  command = plan

  variables {
    environment = "staging"
    zones       = 1
  }

  expect_failures = [var.zones]
}
