"""What a picture is: decoding, hashing, embedding, and the training and measuring of models."""
