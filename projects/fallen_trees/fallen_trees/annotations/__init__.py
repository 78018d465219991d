"""What annotation files say: classes, maps, and how tiles were cut."""
