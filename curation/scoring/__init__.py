"""What is worked out from predictions, margins and embeddings, before a detector says what is an issue."""
