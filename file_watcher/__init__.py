"""file_watcher: every change in a library of files, told over RabbitMQ exactly as the disk has it."""
