resource "google_sql_database_instance" "main" {
  name                = var.name
  region              = var.region
  database_version    = "MYSQL_8_4"
  deletion_protection = true
  depends_on          = [google_service_networking_connection.main]

  settings {
    tier              = var.database_tier
    edition           = "ENTERPRISE"
    availability_type = "REGIONAL"
    disk_autoresize   = true

    backup_configuration {
      enabled            = true
      binary_log_enabled = true
    }

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.main.id
      ssl_mode        = "ENCRYPTED_ONLY"
    }

    database_flags {
      name  = "character_set_server"
      value = "utf8mb4"
    }
  }
}

resource "google_sql_database" "portal" {
  name      = "portal"
  instance  = google_sql_database_instance.main.name
  charset   = "utf8mb4"
  collation = "utf8mb4_bin"
}

resource "google_redis_instance" "main" {
  name               = var.name
  region             = var.region
  tier               = "STANDARD_HA"
  memory_size_gb     = 1
  redis_version      = "REDIS_7_2"
  auth_enabled       = true
  authorized_network = google_compute_network.main.id
  connect_mode       = "PRIVATE_SERVICE_ACCESS"
  depends_on         = [google_service_networking_connection.main]

  redis_configs = {
    maxmemory-policy = "noeviction"
  }
}

resource "google_storage_bucket" "objects" {
  name                        = "${var.project}-${var.name}-objects"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  soft_delete_policy {
    retention_duration_seconds = 604800
  }
}

resource "google_storage_bucket" "builds" {
  name                        = "${var.project}-${var.name}-builds"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  lifecycle_rule {
    condition {
      age = 30
    }
    action {
      type = "Delete"
    }
  }
}

# A dry run: nothing marks images that are live or can be rolled back to with `keep-...` yet.
# Turn it off only when something does, or endpoints lose their images after 90 days.
resource "google_artifact_registry_repository" "images" {
  repository_id          = "${var.name}-images"
  location               = var.region
  format                 = "DOCKER"
  cleanup_policy_dry_run = true

  cleanup_policies {
    id     = "spare-kept"
    action = "KEEP"
    condition {
      tag_state    = "TAGGED"
      tag_prefixes = ["keep-"]
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "7776000s"
    }
  }
}
