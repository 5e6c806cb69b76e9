variable "name" {
  description = "Name of the release."
  type        = string
  default     = "freehold"
}

variable "namespace" {
  description = "Namespace, which is made here."
  type        = string
  default     = "freehold"
}

variable "chart" {
  description = "The chart: a folder, or its address in a registry. Null: deploy/helm/freehold-agent of this repository."
  type        = string
  default     = null
}

variable "chart_version" {
  description = "Version of a chart from a registry."
  type        = string
  default     = null
}

variable "values" {
  description = "Values of the chart, each a YAML document; later ones win. No secrets: Terraform's state shows them."
  type        = list(string)
  default     = []
}
