# A repository an image. A tag means one image for ever: `make k8s-deploy` relies on it.
resource "aws_ecr_repository" "this" {
  for_each             = toset(var.repositories)
  name                 = each.value
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each   = aws_ecr_repository.this
  repository = each.value.name

  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "The newest fifty."
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 50 }
      action       = { type = "expire" }
    }]
  })
}

variable "repositories" {
  description = "Names of the images."
  type        = list(string)
}

output "url" {
  description = "REGISTRY of `make docker-push` and `make k8s-deploy`."
  value       = split("/", values(aws_ecr_repository.this)[0].repository_url)[0]
}
