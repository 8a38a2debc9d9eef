output "layout" {
  description = "What the modules of a cloud build: names, addresses, sizes."
  value       = terraform_data.layout.output
}
