"""What a registry answers, whoever asks and by whichever door."""
