"""What the pipeline does, each as a plain function over adapters that are passed in. Who calls may show and retry."""
