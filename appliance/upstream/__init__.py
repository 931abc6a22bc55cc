"""The real registry and its CDN, and where they truly are."""
