"""From long recordings and their texts to rows: where each piece of a text is said."""
