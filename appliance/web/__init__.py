"""The side server on 80 and 8080: pulls in the clear, blob bodies, what the box shows of itself."""
