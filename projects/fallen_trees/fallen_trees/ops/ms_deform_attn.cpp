// Multi-scale deformable attention on the CPU, forward and backward (Zhu et al., "Deformable DETR", equation 3).
//
// A task is one head of one image. It copies its values together first, so that the pixels around a query lie in few
// cache lines; then each sampling point is located once for all channels, and its four pixels are read as vectors.
// The gradient of the values is summed in the order of the queries by the one task that owns them, so that no result
// depends on the number of threads.

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <tuple>

#include "ms_deform_attn.h"

namespace {

using at::Tensor;
using deform_attn::Problem;
using deform_attn::Samples;

template <typename T, int LANES, int PARTS>
void forward(const Problem& p, const T* value, const T* locations, const T* attention, T* output) {
  const int64_t tasks = p.batch * p.heads;
  // Without enough heads for all threads, several share one; each copies its values for itself.
  const int64_t shares = std::max<int64_t>(1, (at::get_num_threads() + tasks - 1) / std::max<int64_t>(1, tasks));
  at::parallel_for(0, tasks * shares, 1, [&](int64_t begin, int64_t end) {
    Samples<T> samples(p);
    const Tensor own = at::empty({(p.keys + 1) * p.channels}, c10::CppTypeToScalarType<T>::value);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t share = task % shares, image = task / shares / p.heads, head = task / shares % p.heads;
      const int64_t item = image * p.queries * p.heads;
      deform_attn::gather_head(p, value + (image * p.keys * p.heads + head) * p.channels,
                                  own.mutable_data_ptr<T>());
      deform_attn::forward_head<T, LANES, PARTS>(
          p, samples, own.const_data_ptr<T>(), locations + item * p.samples() * 2, attention + item * p.samples(),
          head, p.queries * share / shares, p.queries * (share + 1) / shares, output + item * p.channels);
    }
  });
}

template <typename T, int LANES, int PARTS>
void backward(const Problem& p, const T* value, const T* locations, const T* attention, const T* grad_output,
              T* grad_value, T* grad_locations, T* grad_attention) {
  at::parallel_for(0, p.batch * p.heads, 1, [&](int64_t begin, int64_t end) {
    Samples<T> samples(p);
    const Tensor own = at::empty({2, (p.keys + 1) * p.channels}, c10::CppTypeToScalarType<T>::value);
    T* const own_value = own.mutable_data_ptr<T>();
    T* const own_grad = own_value + (p.keys + 1) * p.channels;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t image = task / p.heads, head = task % p.heads;
      const int64_t at = (image * p.keys * p.heads + head) * p.channels, item = image * p.queries * p.heads;
      deform_attn::gather_head(p, value + at, own_value);
      std::fill_n(own_grad, (p.keys + 1) * p.channels, T(0));
      deform_attn::backward_head<T, LANES, PARTS>(
          p, samples, own_value, locations + item * p.samples() * 2, attention + item * p.samples(),
          grad_output + item * p.channels, head, own_grad, grad_locations + item * p.samples() * 2,
          grad_attention + item * p.samples());
      deform_attn::scatter_head(p, own_grad, grad_value + at);
    }
  });
}

// Calls `run` with the longest vectors that the channels can be cut into.
template <typename T, typename F>
void with_vectors(int64_t channels, F run) {
  constexpr int most = VECTOR_BYTES / sizeof(T);
  const auto cut = [&](auto lanes, auto parts) {
    const bool fits = channels % (lanes * parts) == 0;
    if (fits) run(lanes, parts);
    return fits;
  };
  using std::integral_constant;
  cut(integral_constant<int, most>(), integral_constant<int, 32 / most>()) ||
      cut(integral_constant<int, most>(), integral_constant<int, 8 / most>()) ||
      cut(integral_constant<int, 1>(), integral_constant<int, 1>());
}

Problem check(const Tensor& value, const Tensor& shapes, const Tensor& locations, const Tensor& attention) {
  TORCH_CHECK(value.dim() == 4, "value must be (batch, keys, heads, channels); got ", value.sizes());
  TORCH_CHECK(locations.dim() == 6 && locations.size(5) == 2,
              "locations must be (batch, queries, heads, levels, points, 2); got ", locations.sizes());
  Problem p{value.size(0), value.size(1), value.size(2), value.size(3), locations.size(1), locations.size(3),
            locations.size(4)};
  TORCH_CHECK(locations.size(0) == p.batch && locations.size(2) == p.heads,
              "locations must have the batch and heads of value ", value.sizes(), "; got ", locations.sizes());
  TORCH_CHECK(attention.sizes() == locations.sizes().slice(0, 5), "attention weights must have the shape of locations ",
              locations.sizes(), " without its last; got ", attention.sizes());
  TORCH_CHECK(shapes.dim() == 2 && shapes.size(0) == p.levels && shapes.size(1) == 2 && shapes.scalar_type() == at::kLong,
              "shapes must be (levels, 2), int64, for the ", p.levels, " levels of locations; got ", shapes.sizes());
  TORCH_CHECK(value.scalar_type() == locations.scalar_type() && value.scalar_type() == attention.scalar_type(),
              "value, locations and attention weights must have one type; got ", value.scalar_type(), ", ",
              locations.scalar_type(), " and ", attention.scalar_type());
  int64_t start = 0;
  const auto sizes = shapes.accessor<int64_t, 2>();
  for (int64_t level = 0; level < p.levels; ++level) {
    TORCH_CHECK(sizes[level][0] >= 0 && sizes[level][1] >= 0, "the size of a level must not be negative");
    p.heights.push_back(sizes[level][0]);
    p.widths.push_back(sizes[level][1]);
    p.starts.push_back(start);
    start += sizes[level][0] * sizes[level][1];
  }
  TORCH_CHECK(start == p.keys, "value must have a key for each of the levels' ", start, " pixels; got ", p.keys);
  TORCH_CHECK(p.keys < (int64_t(1) << 31), "levels must have fewer than 2^31 pixels; got ", p.keys);
  return p;
}

Tensor ms_deform_attn(const Tensor& value, const Tensor& shapes, const Tensor& locations, const Tensor& attention) {
  const Problem p = check(value, shapes, locations, attention);
  const Tensor v = value.contiguous(), l = locations.contiguous(), a = attention.contiguous();
  Tensor output = at::empty({p.batch, p.queries, p.heads * p.channels}, value.options());
  AT_DISPATCH_FLOATING_TYPES(v.scalar_type(), "ms_deform_attn", [&] {
    with_vectors<scalar_t>(p.channels, [&](auto lanes, auto parts) {
      forward<scalar_t, lanes, parts>(p, v.const_data_ptr<scalar_t>(), l.const_data_ptr<scalar_t>(),
                                      a.const_data_ptr<scalar_t>(), output.mutable_data_ptr<scalar_t>());
    });
  });
  return output;
}

std::tuple<Tensor, Tensor, Tensor> ms_deform_attn_backward(const Tensor& grad_output, const Tensor& value,
                                                           const Tensor& shapes, const Tensor& locations,
                                                           const Tensor& attention) {
  const Problem p = check(value, shapes, locations, attention);
  const Tensor v = value.contiguous(), l = locations.contiguous(), a = attention.contiguous(),
               g = grad_output.contiguous();
  Tensor grad_value = at::empty_like(v), grad_locations = at::empty_like(l), grad_attention = at::empty_like(a);
  AT_DISPATCH_FLOATING_TYPES(v.scalar_type(), "ms_deform_attn_backward", [&] {
    with_vectors<scalar_t>(p.channels, [&](auto lanes, auto parts) {
      backward<scalar_t, lanes, parts>(
          p, v.const_data_ptr<scalar_t>(), l.const_data_ptr<scalar_t>(), a.const_data_ptr<scalar_t>(),
          g.const_data_ptr<scalar_t>(), grad_value.mutable_data_ptr<scalar_t>(),
          grad_locations.mutable_data_ptr<scalar_t>(), grad_attention.mutable_data_ptr<scalar_t>());
    });
  });
  return {grad_value, grad_locations, grad_attention};
}

}  // namespace

TORCH_LIBRARY(fallen_trees, library) {
  library.def("ms_deform_attn(Tensor value, Tensor shapes, Tensor locations, Tensor attention) -> Tensor");
  library.def("ms_deform_attn_backward(Tensor grad_output, Tensor value, Tensor shapes, Tensor locations, "
              "Tensor attention) -> (Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(fallen_trees, CPU, library) {
  library.impl("ms_deform_attn", ms_deform_attn);
  library.impl("ms_deform_attn_backward", ms_deform_attn_backward);
}
