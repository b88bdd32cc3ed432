# portal: the Helm release's pods, by workload identity. builds: Cloud Build. nodes: the machines.
resource "google_service_account" "portal" {
  account_id = "${var.name}-portal"
}

resource "google_service_account" "builds" {
  account_id = "${var.name}-builds"
}

resource "google_service_account" "nodes" {
  account_id = "${var.name}-nodes"
}

resource "google_service_account_iam_member" "workload_identity" {
  service_account_id = google_service_account.portal.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[${var.namespace}/${var.name}]"
  depends_on         = [google_container_cluster.main]
}

resource "google_project_iam_member" "nodes" {
  project = var.project
  role    = "roles/container.defaultNodeServiceAccount"
  member  = google_service_account.nodes.member
}

resource "google_project_iam_member" "portal_builds" {
  project = var.project
  role    = "roles/cloudbuild.builds.editor"
  member  = google_service_account.portal.member
}

resource "google_project_iam_member" "builds_logs" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.builds.member
}

# The portal starts builds as the builds account, and signs object addresses as itself.
resource "google_service_account_iam_member" "act_as_builds" {
  service_account_id = google_service_account.builds.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.portal.member
}

resource "google_service_account_iam_member" "sign" {
  service_account_id = google_service_account.portal.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_service_account.portal.member
}

resource "google_storage_bucket_iam_member" "portal_objects" {
  bucket = google_storage_bucket.objects.name
  role   = "roles/storage.objectUser"
  member = google_service_account.portal.member
}

resource "google_storage_bucket_iam_member" "builds_bucket" {
  for_each = {
    portal = google_service_account.portal.member
    builds = google_service_account.builds.member
  }
  bucket = google_storage_bucket.builds.name
  role   = "roles/storage.objectUser"
  member = each.value
}

resource "google_artifact_registry_repository_iam_member" "images" {
  for_each = {
    builds = ["roles/artifactregistry.writer", google_service_account.builds.member]
    portal = ["roles/artifactregistry.reader", google_service_account.portal.member]
    nodes  = ["roles/artifactregistry.reader", google_service_account.nodes.member]
  }
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = each.value[0]
  member     = each.value[1]
}

resource "google_pubsub_subscription_iam_member" "portal" {
  for_each     = google_pubsub_subscription.portal
  subscription = each.value.id
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.portal.member
}

resource "google_pubsub_topic_iam_member" "portal" {
  topic  = google_pubsub_topic.events.id
  role   = "roles/pubsub.publisher"
  member = google_service_account.portal.member
}
