"""What tests measure of a loss: its value and gradient, and how far they are from the expected ones."""


def value_and_gradient(loss, embeddings, labels, *rest, **draws):
    embeddings = embeddings.clone().requires_grad_()
    value = loss(embeddings, labels, *rest, **draws)
    value.backward()
    return value.detach(), embeddings.grad


def relative_error(actual, expected):
    return float((actual.detach() - expected).abs().max() / expected.abs().max())
