// The arithmetic of multi-scale deformable attention on the CPU, one head of one image at a time. Needs no torch.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "vectors.h"

namespace deform_attn {

// Sizes of the tensors, and height, width and number of pixels before each level.
struct Problem {
  int64_t batch, keys, heads, channels, queries, levels, points;
  std::vector<int64_t> heights, widths, starts;

  int64_t samples() const { return levels * points; }
};

// The sampling points of one head and of up to QUERIES queries: so many at once that loops over them fill vectors.
//
// Of each point four pixels are needed, in the order top left, top right, bottom left, bottom right. A pixel outside is
// replaced by one inside with weight 0, so that none needs a branch; in an empty level by the one behind the last. A location or an attention weight that is not a
// number makes weights, and so results, that are none.
template <typename T>
class Samples {
 public:
  static constexpr int64_t QUERIES = 8;
  std::vector<int32_t> pixel[4];
  std::vector<T> weight[4];  // bilinear times attention
  std::vector<T> dot[4];     // of the pixel's values and the output's gradient

  explicit Samples(const Problem& problem) : per_query_(problem.samples()), heads_(problem.heads) {
    for (int64_t query = 0; query < QUERIES; ++query)
      for (int64_t level = 0; level < problem.levels; ++level) {
        const bool empty = problem.heights[level] * problem.widths[level] == 0;
        for (int64_t point = 0; point < problem.points; ++point) {
          height_.push_back(empty ? 0 : problem.heights[level]);
          width_.push_back(empty ? 0 : problem.widths[level]);
          row_.push_back(width_.back());
          start_.push_back(empty ? problem.keys : problem.starts[level]);
        }
      }
    const size_t size = height_.size();
    for (auto* scalars : {&fx_, &fy_, &attention_}) scalars->resize(size);
    locations_.resize(2 * size);
    for (int corner = 0; corner < 4; ++corner) {
      pixel[corner].resize(size);
      for (auto* scalars : {&inside_[corner], &weight[corner], &dot[corner]}) scalars->resize(size);
    }
  }

  // Takes the points of some queries; `item` is the first of them, counted in queries times heads.
  void take(const T* locations, const T* attention, int64_t item, int64_t queries) {
    for (int64_t query = 0; query < queries; ++query, item += heads_) {
      std::copy_n(locations + item * per_query_ * 2, per_query_ * 2, &locations_[query * per_query_ * 2]);
      std::copy_n(attention + item * per_query_, per_query_, &attention_[query * per_query_]);
    }
    locate(queries * per_query_);
    weigh(queries * per_query_);
  }

  // Writes the gradients of what was taken, from `dot`.
  void differentiate(T* grad_locations, T* grad_attention, int64_t item, int64_t queries) {
    differentiate(queries * per_query_);
    for (int64_t query = 0; query < queries; ++query, item += heads_) {
      std::copy_n(&locations_[query * per_query_ * 2], per_query_ * 2, grad_locations + item * per_query_ * 2);
      std::copy_n(&attention_[query * per_query_], per_query_, grad_attention + item * per_query_);
    }
  }

 private:
  int64_t per_query_, heads_;
  std::vector<T> height_, width_, locations_, attention_, fx_, fy_, inside_[4];
  std::vector<int32_t> row_, start_;

  void locate(int64_t count) {
    const T *locations = locations_.data(), *height = height_.data(), *width = width_.data();
    const int32_t *row = row_.data(), *start = start_.data();
    T *fx = fx_.data(), *fy = fy_.data();
    T *inside0 = inside_[0].data(), *inside1 = inside_[1].data();
    T *inside2 = inside_[2].data(), *inside3 = inside_[3].data();
    int32_t *pixel0 = pixel[0].data(), *pixel1 = pixel[1].data();
    int32_t *pixel2 = pixel[2].data(), *pixel3 = pixel[3].data();
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
      const T x = locations[2 * i] * width[i] - T(0.5), y = locations[2 * i + 1] * height[i] - T(0.5);
      const T left = std::floor(x), top = std::floor(y), last_x = width[i] - 1, last_y = height[i] - 1;
      fx[i] = x - left;
      fy[i] = y - top;
      const T in_left = (left >= 0) & (left <= last_x), in_right = (left >= -1) & (left < last_x);
      const T in_top = (top >= 0) & (top <= last_y), in_bottom = (top >= -1) & (top < last_y);
      inside0[i] = in_top * in_left;
      inside1[i] = in_top * in_right;
      inside2[i] = in_bottom * in_left;
      inside3[i] = in_bottom * in_right;
      // Written so that what is not a number becomes 0.
      const T x0 = left > 0 ? (left < last_x ? left : last_x) : T(0);
      const T y0 = top > 0 ? (top < last_y ? top : last_y) : T(0);
      const int32_t right = in_left * in_right, below = in_top * in_bottom;
      pixel0[i] = start[i] + int32_t(y0) * row[i] + int32_t(x0);
      pixel1[i] = pixel0[i] + right;
      pixel2[i] = pixel0[i] + below * row[i];
      pixel3[i] = pixel2[i] + right;
    }
  }

  void weigh(int64_t count) {
    const T *fx = fx_.data(), *fy = fy_.data(), *attention = attention_.data();
    const T *inside0 = inside_[0].data(), *inside1 = inside_[1].data();
    const T *inside2 = inside_[2].data(), *inside3 = inside_[3].data();
    T *weight0 = weight[0].data(), *weight1 = weight[1].data();
    T *weight2 = weight[2].data(), *weight3 = weight[3].data();
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
      const T right = fx[i], bottom = fy[i], left = 1 - right, top = 1 - bottom;
      weight0[i] = top * left * inside0[i] * attention[i];
      weight1[i] = top * right * inside1[i] * attention[i];
      weight2[i] = bottom * left * inside2[i] * attention[i];
      weight3[i] = bottom * right * inside3[i] * attention[i];
    }
  }

  // In place: locations and attention become their gradients.
  void differentiate(int64_t count) {
    const T *fx = fx_.data(), *fy = fy_.data(), *height = height_.data(), *width = width_.data();
    const T *inside0 = inside_[0].data(), *inside1 = inside_[1].data();
    const T *inside2 = inside_[2].data(), *inside3 = inside_[3].data();
    const T *dot0 = dot[0].data(), *dot1 = dot[1].data(), *dot2 = dot[2].data(), *dot3 = dot[3].data();
    T *locations = locations_.data(), *attention = attention_.data();
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
      const T right = fx[i], bottom = fy[i], left = 1 - right, top = 1 - bottom, weight = attention[i];
      const T a = dot0[i] * inside0[i], b = dot1[i] * inside1[i], c = dot2[i] * inside2[i], d = dot3[i] * inside3[i];
      locations[2 * i] = (top * (b - a) + bottom * (d - c)) * weight * width[i];
      locations[2 * i + 1] = (left * (c - a) + right * (d - b)) * weight * height[i];
      attention[i] = top * (left * a + right * b) + bottom * (left * c + right * d);
    }
  }
};

// Copies one head of (keys, heads, channels) to (keys + 1, channels), the last of them 0; and back, without the last.
template <typename T>
void gather_head(const Problem& p, const T* all, T* one) {
  for (int64_t key = 0; key < p.keys; ++key)
    std::copy_n(all + key * p.heads * p.channels, p.channels, one + key * p.channels);
  std::fill_n(one + p.keys * p.channels, p.channels, T(0));
}

template <typename T>
void scatter_head(const Problem& p, const T* one, T* all) {
  for (int64_t key = 0; key < p.keys; ++key)
    std::copy_n(one + key * p.channels, p.channels, all + key * p.heads * p.channels);
}

// The output of one query, of samples begin to end, in LANES * PARTS channels.
template <typename T, int LANES, int PARTS>
void sum_samples(const Samples<T>& samples, int64_t begin, int64_t end, const T* value, int64_t channels, T* output) {
  using V = Vector<T, LANES>;
  typename V::type sums[2][PARTS] = {};  // two, so that an addition need not wait for the one before
  const int32_t* pixel[4];
  const T* weight[4];
  for (int corner = 0; corner < 4; ++corner) {
    pixel[corner] = samples.pixel[corner].data();
    weight[corner] = samples.weight[corner].data();
  }
  for (int64_t i = begin; i < end; ++i)
    for (int corner = 0; corner < 4; ++corner) {
      const T* from = value + pixel[corner][i] * channels;
      for (int part = 0; part < PARTS; ++part) sums[corner % 2][part] += weight[corner][i] * V::load(from + part * LANES);
    }
  for (int part = 0; part < PARTS; ++part)
    V::store(output + part * LANES, sums[0][part] + sums[1][part]);
}

// Adds the gradient of one query to that of the values, in LANES * PARTS channels, and their dot products to `dot`.
template <typename T, int LANES, int PARTS>
void spread_gradient(Samples<T>& samples, int64_t begin, int64_t end, const T* value, int64_t channels,
                     const T* grad_output, T* grad_value, bool first) {
  using V = Vector<T, LANES>;
  typename V::type grad[PARTS];
  for (int part = 0; part < PARTS; ++part) grad[part] = V::load(grad_output + part * LANES);
  const int32_t* pixel[4];
  const T* weight[4];
  T* dot[4];
  for (int corner = 0; corner < 4; ++corner) {
    pixel[corner] = samples.pixel[corner].data();
    weight[corner] = samples.weight[corner].data();
    dot[corner] = samples.dot[corner].data();
  }
  for (int64_t i = begin; i < end; ++i)
    for (int corner = 0; corner < 4; ++corner) {
      const int64_t at = pixel[corner][i] * channels;
      typename V::type products = {};
      for (int part = 0; part < PARTS; ++part) {
        products += grad[part] * V::load(value + at + part * LANES);
        T* to = grad_value + at + part * LANES;
        V::store(to, V::load(to) + weight[corner][i] * grad[part]);
      }
      dot[corner][i] = V::sum(products) + (first ? T(0) : dot[corner][i]);
    }
}

// The output (queries, heads, channels) of queries begin to end of one head, from its values (keys + 1, channels).
template <typename T, int LANES, int PARTS>
void forward_head(const Problem& p, Samples<T>& samples, const T* value, const T* locations, const T* attention,
                  int64_t head, int64_t begin, int64_t end, T* output) {
  const int64_t count = p.samples();
  for (int64_t query = begin; query < end; query += Samples<T>::QUERIES) {
    const int64_t queries = std::min(Samples<T>::QUERIES, end - query), item = query * p.heads + head;
    samples.take(locations, attention, item, queries);
    for (int64_t i = 0; i < queries; ++i)
      for (int64_t channel = 0; channel < p.channels; channel += LANES * PARTS)
        sum_samples<T, LANES, PARTS>(samples, i * count, (i + 1) * count, value + channel, p.channels,
                                     output + (item + i * p.heads) * p.channels + channel);
  }
}

// All gradients of one head; that of the values (keys + 1, channels) is added to what is there.
template <typename T, int LANES, int PARTS>
void backward_head(const Problem& p, Samples<T>& samples, const T* value, const T* locations, const T* attention,
                   const T* grad_output, int64_t head, T* grad_value, T* grad_locations, T* grad_attention) {
  const int64_t count = p.samples();
  for (int64_t query = 0; query < p.queries; query += Samples<T>::QUERIES) {
    const int64_t queries = std::min(Samples<T>::QUERIES, p.queries - query), item = query * p.heads + head;
    samples.take(locations, attention, item, queries);
    for (int64_t i = 0; i < queries; ++i)
      for (int64_t channel = 0; channel < p.channels; channel += LANES * PARTS)
        spread_gradient<T, LANES, PARTS>(samples, i * count, (i + 1) * count, value + channel, p.channels,
                                         grad_output + (item + i * p.heads) * p.channels + channel,
                                         grad_value + channel, channel == 0);
    samples.differentiate(grad_locations, grad_attention, item, queries);
  }
}

}  // namespace deform_attn
