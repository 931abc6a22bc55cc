"""What the wire says: pure text and bytes to values and back. True in any cache for Ollama."""
