"""The wire: messages, schemas, the connection to RabbitMQ and the relay from the outbox."""
