"""What is measured: the list of all metrics, the numbers of a host's processes, their text for Prometheus."""
