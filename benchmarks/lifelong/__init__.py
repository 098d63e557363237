"""What a long life needs: much learnt in one pass, all of it asked at once, strangers told, no slowing down."""
