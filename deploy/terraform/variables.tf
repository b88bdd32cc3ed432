variable "project" {
  description = "Google Cloud project id."
  type        = string
}

variable "region" {
  description = "Region of everything."
  type        = string
  default     = "europe-west1"
}

variable "name" {
  description = "Prefix of every name."
  type        = string
  default     = "hekaton"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.name))
    error_message = "Use 2 to 16 lower-case letters, digits and dashes, a letter first."
  }
}

variable "namespace" {
  description = "Kubernetes namespace and service account of the Helm release."
  type        = string
  default     = "hekaton"
}

variable "admin_networks" {
  description = "CIDR blocks that may reach the cluster's API server."
  type        = list(string)
}

variable "database_tier" {
  description = "Cloud SQL machine type."
  type        = string
  default     = "db-custom-2-7680"
}

variable "max_cpu" {
  description = "CPUs that Node Auto-Provisioning may add up to."
  type        = number
  default     = 64
}

variable "max_memory_gb" {
  description = "Memory in GB that Node Auto-Provisioning may add up to."
  type        = number
  default     = 256
}

variable "max_gpu" {
  description = "nvidia-l4 GPUs that Node Auto-Provisioning may add up to; 0 for none."
  type        = number
  default     = 0
}

variable "message_days" {
  description = "Days that unread messages and dead letters are kept."
  type        = number
  default     = 7
}
