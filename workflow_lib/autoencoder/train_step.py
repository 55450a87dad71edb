"""One training step of the autoencoder, written out: the bits of autograd and torch.optim.Adam, in half their time.

The network is small and a step short, so that bookkeeping (graph, gradient tensors, 38 separate optimiser loops) costs
as much as the products. Here the same operations run in the same order on reused buffers, and all parameters and
gradients are one flat array each, so that Adam is seven operations on one array.
"""

import numpy as np
import torch
from torch import Tensor, nn

from workflow_lib.autoencoder.network import NORM_EPS, NORM_MOMENTUM, Autoencoder, Norm

ADAM_DECAYS = (0.9, 0.999)
ADAM_EPS = 1e-8
# The gradients' kernels have no plain Python names.
relu_gradient_ = torch.ops.aten.threshold_backward.grad_input
norm_gradients = torch.ops.aten.native_batch_norm_backward.default


class FlatAdam:
    """Adam (Kingma and Ba 2015, no weight decay) on one flat array, rounding as torch's own on separate parameters."""

    def __init__(self, parameters: Tensor, gradients: Tensor, learning_rate: float) -> None:
        self.parameters, self.gradients, self.learning_rate = parameters, gradients, learning_rate
        self.mean, self.square = torch.zeros_like(parameters), torch.zeros_like(parameters)
        self.scratch = torch.empty_like(parameters)
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        decay_mean, decay_square = ADAM_DECAYS
        step_size = self.learning_rate / (1 - decay_mean**self.steps)
        correction = (1 - decay_square**self.steps) ** 0.5
        self.mean.lerp_(self.gradients, 1 - decay_mean)
        self.square.mul_(decay_square).addcmul_(self.gradients, self.gradients, value=1 - decay_square)
        torch.sqrt(self.square, out=self.scratch)
        self.scratch.div_(correction).add_(ADAM_EPS)
        self.parameters.addcdiv_(self.mean, self.scratch, value=-step_size)


class _Buffers:
    """Arrays of one batch size: outputs of the linear layers, gradients of their inputs, squared errors."""

    def __init__(self, vectors: int, linear: list[nn.Linear]) -> None:
        self.outputs = [torch.empty(vectors, layer.out_features) for layer in linear]
        self.input_gradients = [torch.empty(vectors, layer.in_features) for layer in linear]
        self.squares = torch.empty(vectors, linear[-1].out_features)
        # The gradient of the loss: mean over the batch of the mean over the values, rounded in that order.
        single = np.float32(1.0) / np.float32(vectors) / np.float32(linear[-1].out_features)
        self.error_scale = 2.0 * float(single)


class TrainingStep:
    """Forward, backward and update of a network on one batch; the network's parameters are views until `release`."""

    def __init__(self, network: Autoencoder, learning_rate: float) -> None:
        self.linear, self.norms = network.linear_layers(), network.norm_layers()
        self._flatten(learning_rate)
        self.weights = [layer.weight.detach() for layer in self.linear]
        # Views, made once: a view costs as much as a small sum.
        self.transposed = [weight.t() for weight in self.weights]
        self.biases = [layer.bias.detach() for layer in self.linear]
        self.scales = [layer.weight.detach() for layer in self.norms]
        self.shifts = [layer.bias.detach() for layer in self.norms]
        self.buffers: dict[int, _Buffers] = {}
        self.steps = 0

    @torch.no_grad()
    def __call__(self, vectors: Tensor) -> Tensor:
        """Take one step on vectors (n, 640), n > 1; the losses (n,) before the update, each a mean over 640 values."""
        if len(vectors) not in self.buffers:
            self.buffers[len(vectors)] = _Buffers(len(vectors), self.linear)
        buffers = self.buffers[len(vectors)]
        inputs, norm_statistics = self._forward(vectors, buffers)
        error = buffers.outputs[-1].sub_(vectors)
        losses = torch.mul(error, error, out=buffers.squares).mean(1)
        self._backward(error.mul_(buffers.error_scale), inputs, norm_statistics, buffers)
        self.adam.step()
        self.steps += 1
        return losses

    def release(self) -> None:
        """Copy the parameters out of the shared array, and set the number of batches in the norm layers."""
        layers: list[nn.Linear | Norm] = [*self.linear, *self.norms]
        for layer in layers:
            layer.weight.data, layer.bias.data = layer.weight.data.clone(), layer.bias.data.clone()
        for norm in self.norms:
            norm.num_batches_tracked.fill_(self.steps)

    def _flatten(self, learning_rate: float) -> None:
        """Move all parameters into one array: the weights of the linear layers, then biases and norms."""
        small = [layer.bias for layer in self.linear] + [p for norm in self.norms for p in (norm.weight, norm.bias)]
        owners = [layer.weight for layer in self.linear] + small
        flat = torch.cat([parameter.detach().reshape(-1) for parameter in owners])
        gradients = torch.zeros_like(flat)
        sizes = [parameter.numel() for parameter in owners]
        for parameter, values in zip(owners, flat.split(sizes), strict=True):
            parameter.data = values.view_as(parameter)
        self.weight_gradients = [
            values.view_as(layer.weight) for layer, values in zip(self.linear, gradients.split(sizes), strict=False)
        ]
        self.small_gradients = gradients[sum(sizes[: len(self.linear)]) :]
        self.adam = FlatAdam(flat, gradients, learning_rate)

    def _forward(self, vectors: Tensor, buffers: _Buffers) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        """Inputs of every linear layer, and mean and inverse deviation of every batch norm; running statistics move."""
        inputs, statistics = [vectors], []
        for layer, norm in enumerate(self.norms):
            output = self._linear(layer, inputs[-1], buffers)
            running = (norm.running_mean, norm.running_var)
            scaled, mean, inverse = torch.native_batch_norm(
                output, self.scales[layer], self.shifts[layer], *running, True, NORM_MOMENTUM, NORM_EPS
            )
            inputs.append(scaled.clamp_min_(0))  # the kernel of relu, called directly
            statistics.append((mean, inverse))
        self._linear(len(self.norms), inputs[-1], buffers)
        return inputs, statistics

    def _linear(self, layer: int, inputs: Tensor, buffers: _Buffers) -> Tensor:
        return torch.addmm(self.biases[layer], inputs, self.transposed[layer], out=buffers.outputs[layer])

    def _backward(
        self, gradient: Tensor, inputs: list[Tensor], statistics: list[tuple[Tensor, Tensor]], buffers: _Buffers
    ) -> None:
        """Gradients of all parameters into the flat array, from the gradient (n, 640) of the reconstruction."""
        of_biases, of_norms = [self._linear_gradients(len(self.norms), gradient, inputs)], list[Tensor]()
        for layer in range(len(self.norms) - 1, -1, -1):
            at_input = torch.mm(gradient, self.weights[layer + 1], out=buffers.input_gradients[layer + 1])
            relu_gradient_(at_input, inputs[layer + 1], 0, grad_input=at_input)
            running = (self.norms[layer].running_mean, self.norms[layer].running_var)
            known = (buffers.outputs[layer], self.scales[layer], *running, *statistics[layer])
            gradient, of_scale, of_shift = norm_gradients(at_input, *known, True, NORM_EPS, [True, True, True])
            of_biases.insert(0, self._linear_gradients(layer, gradient, inputs))
            of_norms[:0] = (of_scale, of_shift)
        torch.cat(of_biases + of_norms, out=self.small_gradients)

    def _linear_gradients(self, layer: int, gradient: Tensor, inputs: list[Tensor]) -> Tensor:
        """Write the gradient of the weights into its place; return that of the bias."""
        torch.mm(gradient.t(), inputs[layer], out=self.weight_gradients[layer])
        return gradient.sum(0)
