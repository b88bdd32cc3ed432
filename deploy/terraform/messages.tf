locals {
  subscriptions = toset(["data-updates", "cloud-builds"])
}

resource "google_pubsub_topic" "data_updates" {
  name = "${var.name}-data-updates"
}

# Cloud Build publishes to a topic of exactly this name.
resource "google_pubsub_topic" "cloud_builds" {
  name = "cloud-builds"
}

resource "google_pubsub_topic" "events" {
  name = "${var.name}-events"
}

resource "google_pubsub_topic" "dead_letter" {
  name = "${var.name}-dead-letter"
}

resource "google_pubsub_subscription" "portal" {
  for_each                     = local.subscriptions
  name                         = "${var.name}-${each.key}"
  topic                        = each.key == "cloud-builds" ? google_pubsub_topic.cloud_builds.id : google_pubsub_topic.data_updates.id
  ack_deadline_seconds         = 60
  message_retention_duration   = "${var.message_days * 86400}s"
  enable_message_ordering      = true
  enable_exactly_once_delivery = false

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "5s"
    maximum_backoff = "300s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letter.id
    max_delivery_attempts = 10
  }
}

resource "google_pubsub_subscription" "dead_letter" {
  name                       = "${var.name}-dead-letter"
  topic                      = google_pubsub_topic.dead_letter.id
  message_retention_duration = "${var.message_days * 86400}s"

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub itself moves poison messages, so its own account needs both rights.
data "google_project" "this" {}

locals {
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic_iam_member" "dead_letter" {
  topic  = google_pubsub_topic.dead_letter.id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead_letter" {
  for_each     = google_pubsub_subscription.portal
  subscription = each.value.id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}
