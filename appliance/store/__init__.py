"""What survives a power cut: blobs, manifests, and what is known of them."""
