"""Shows what the product is for: photographs, what people do to them, and who still recognises them."""
