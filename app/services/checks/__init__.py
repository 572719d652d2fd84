"""What is compared with the alarms about it: one module for each part of the installation."""
