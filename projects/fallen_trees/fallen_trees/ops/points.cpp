// Operators on points of mask logits and true masks on the CPU: what Mask2Former's matching and mask losses spend their
// time on. Each task owns its query or mask, so no result depends on the number of threads.

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <tuple>

#include "points.h"

namespace {

using at::Tensor;

void check_points(const Tensor& coordinates, int64_t first) {
  TORCH_CHECK(coordinates.dim() == 3 && coordinates.size(0) == first && coordinates.size(2) == 2 &&
                  coordinates.scalar_type() == at::kFloat,
              "points must be (", first, ", points, 2), float32; got ", coordinates.sizes());
}

Tensor checked_planes(const Tensor& planes, const char* name) {
  TORCH_CHECK(planes.dim() == 3 && planes.scalar_type() == at::kFloat, name, " must be (n, h, w), float32; got ",
              planes.sizes(), " of ", planes.scalar_type());
  TORCH_CHECK(points::bordered_size(planes.size(1), planes.size(2)) < (int64_t(1) << 31), name,
              " must have fewer than 2^31 pixels");
  return planes.contiguous();
}

Tensor checked_truth(const Tensor& truth) {
  TORCH_CHECK(truth.dim() == 3 && (truth.scalar_type() == at::kBool || truth.scalar_type() == at::kByte),
              "true masks must be (objects, H, W), bool or uint8; got ", truth.sizes(), " of ", truth.scalar_type());
  return truth.contiguous();
}

std::vector<points::TrueMask> with_boxes(const Tensor& truth) {
  const auto* pixels = static_cast<const uint8_t*>(truth.const_data_ptr());
  const int64_t height = truth.size(1), width = truth.size(2);
  std::vector<points::TrueMask> masks(truth.size(0), points::TrueMask(nullptr, 0, 0));
  at::parallel_for(0, truth.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t object = begin; object < end; ++object)
      masks[object] = points::TrueMask(pixels + object * height * width, height, width);
  });
  return masks;
}

// Softplus and sigmoid sums (layers, queries), logits and sigmoids weighted by true masks (layers, queries, objects), and
// the sums of the true masks (layers, objects).
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> matching_sums(at::TensorList logits, const Tensor& coordinates,
                                                                 const Tensor& true_masks) {
  const int64_t layers = logits.size();
  check_points(coordinates, layers);
  TORCH_CHECK(layers > 0, "there must be at least one layer of logits");
  std::vector<Tensor> planes;
  for (const Tensor& layer : logits) {
    planes.push_back(checked_planes(layer, "logits"));
    TORCH_CHECK(layer.sizes() == logits[0].sizes(), "logits of all layers must have one shape; got ",
                logits[0].sizes(), " and ", layer.sizes());
  }
  const Tensor truth = checked_truth(true_masks), where = coordinates.contiguous();
  const int64_t queries = planes[0].size(0), height = planes[0].size(1), width = planes[0].size(2),
                objects = truth.size(0), count = where.size(1),
                blocks = (queries + points::LANES - 1) / points::LANES;
  const auto floats = planes[0].options();
  Tensor softplus = at::empty({layers, queries}, floats), sigmoid = at::empty({layers, queries}, floats),
         logit_in = at::empty({layers, queries, objects}, floats),
         sigmoid_in = at::empty({layers, queries, objects}, floats), area = at::empty({layers, objects}, floats);
  const std::vector<points::TrueMask> masks = with_boxes(truth);
  std::vector<points::SparseTruth> sparse(layers, points::SparseTruth({}, nullptr, 0));
  std::vector<std::vector<points::Place>> places(layers);
  const float* const points_xy = where.const_data_ptr<float>();
  at::parallel_for(0, layers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t layer = begin; layer < end; ++layer) {
      sparse[layer] = points::SparseTruth(masks, points_xy + layer * count * 2, count);
      for (int64_t point = layer * count; point < (layer + 1) * count; ++point)
        places[layer].push_back(points::locate(points_xy + 2 * point, height, width));
    }
  });
  const points::QuerySums sums{softplus.mutable_data_ptr<float>(), sigmoid.mutable_data_ptr<float>(),
                               logit_in.mutable_data_ptr<float>(), sigmoid_in.mutable_data_ptr<float>()};
  at::parallel_for(0, layers * blocks, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> block(points::bordered_size(height, width) * points::LANES);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t layer = task / blocks, first = task % blocks * points::LANES, at = layer * queries + first,
                    lanes = std::min<int64_t>(points::LANES, queries - first);
      points::interleave(planes[layer].const_data_ptr<float>() + first * height * width, lanes, height, width,
                         block.data());
      points::sum_block(block.data(), width, places[layer], sparse[layer], lanes, sums.from(at, objects));
    }
  });
  for (int64_t layer = 0; layer < layers; ++layer)
    std::copy_n(sparse[layer].area.data(), objects, area.mutable_data_ptr<float>() + layer * objects);
  return {softplus, sigmoid, logit_in, sigmoid_in, area};
}

// (masks, uncertain + random, 2)
Tensor uncertain_points(const Tensor& logits, int64_t candidates, int64_t uncertain, int64_t random, int64_t seed) {
  const Tensor planes = checked_planes(logits, "logits");
  TORCH_CHECK(0 <= uncertain && uncertain <= candidates && random >= 0,
              "at least 0 and at most ", candidates, " points must be uncertain and at least 0 random; got ", uncertain,
              " and ", random);
  const int64_t count = planes.size(0), height = planes.size(1), width = planes.size(2), each = uncertain + random;
  Tensor found = at::empty({count, each, 2}, planes.options());
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> bordered(points::bordered_size(height, width));
    for (int64_t mask = begin; mask < end; ++mask) {
      points::add_border(planes.const_data_ptr<float>() + mask * height * width, height, width, bordered.data());
      // Seeds far apart: neighbouring ones would be the same chain, one step on.
      const uint64_t own = uint64_t(seed) + uint64_t(mask + 1) * 0xd1342543de82ef95;
      points::uncertain_points(bordered.data(), height, width, candidates, uncertain, random, own,
                               found.mutable_data_ptr<float>() + mask * each * 2);
    }
  });
  return found;
}

// (samples, points): of each row the true mask that `objects` names
Tensor sample_truth(const Tensor& true_masks, const Tensor& objects, const Tensor& coordinates) {
  const Tensor truth = checked_truth(true_masks), where = coordinates.contiguous(), rows = objects.contiguous();
  TORCH_CHECK(rows.dim() == 1 && rows.scalar_type() == at::kLong, "objects must be (n,), int64; got ", rows.sizes());
  check_points(coordinates, rows.size(0));
  const int64_t count = where.size(1);
  const int64_t* const object = rows.const_data_ptr<int64_t>();
  for (int64_t row = 0; row < rows.size(0); ++row)
    TORCH_CHECK(0 <= object[row] && object[row] < truth.size(0), "objects must lie below ", truth.size(0), "; got ",
                object[row]);
  const std::vector<points::TrueMask> masks = with_boxes(truth);
  Tensor sampled = at::empty({rows.size(0), count}, where.options());
  at::parallel_for(0, rows.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      masks[object[row]].sample(where.const_data_ptr<float>() + row * count * 2, count,
                                sampled.mutable_data_ptr<float>() + row * count);
  });
  return sampled;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(fallen_trees, library) {
  library.def("matching_sums(Tensor[] logits, Tensor points, Tensor truth) -> "
              "(Tensor, Tensor, Tensor, Tensor, Tensor)");
  library.def("uncertain_points(Tensor logits, int candidates, int uncertain, int random, int seed) -> Tensor");
  library.def("sample_truth(Tensor truth, Tensor objects, Tensor points) -> Tensor");
}

TORCH_LIBRARY_IMPL(fallen_trees, CPU, library) {
  library.impl("matching_sums", matching_sums);
  library.impl("uncertain_points", uncertain_points);
  library.impl("sample_truth", sample_truth);
}
