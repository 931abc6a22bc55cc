"""The Ollama LAN Appliance: everything in the box that is not a mitmproxy hook."""

__version__ = "0.1.0"
