output "cluster" {
  description = "Name for gcloud container clusters get-credentials."
  value       = google_container_cluster.main.name
}

output "database_host" {
  description = "Host of DATABASE_URL."
  value       = google_sql_database_instance.main.private_ip_address
}

output "redis_host" {
  description = "Host of REDIS_URL; its password is in the instance's AUTH string."
  value       = google_redis_instance.main.host
}

output "portal_service_account" {
  description = "Value of the chart's iam.gke.io/gcp-service-account annotation."
  value       = google_service_account.portal.email
}

output "objects_bucket" {
  description = "Bucket of the chart's backends.storage."
  value       = google_storage_bucket.objects.name
}

output "images" {
  description = "Repository of images."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}
