"""Classification of images: the second half of IDML, by softmax and introspective softmax, alone and with mixtures."""
