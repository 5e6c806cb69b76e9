output "namespace" {
  description = "Where the agent runs."
  value       = kubernetes_namespace_v1.this.metadata[0].name
}

output "release" {
  description = "Name of the release."
  value       = helm_release.agent.name
}
