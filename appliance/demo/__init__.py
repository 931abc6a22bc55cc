"""The Internet and a client in small: what `demo`, `doctor` and the journey tests pull with.

A scripted registry with its CDN (`origin`, `cdn`), the name server that leads to them (`names`),
and an emulated Ollama client (`client`) that asks what an unmodified one asks, in the same order,
and fails where that one fails.
"""
