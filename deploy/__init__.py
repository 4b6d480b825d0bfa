"""What runs around the job: images, manifests, dashboards and the local broker."""
