// Mask logits and true masks at points between their pixels, bilinear, zero outside. Needs no torch.
//
// A plane of h x w pixels is sampled at x and y from 0 to 1 over its outer edges: pixel (0, 0) has its centre at
// (0.5 / w, 0.5 / h). Logits are copied into a plane with a border of zeros first, so that no point needs a branch.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "vectors.h"

namespace points {

// Where a point lies in a plane with borders: its top left pixel, and how far it is right of and below that one.
struct Place {
  int32_t pixel;
  float right, below;
};

// A place in pixels, 0 being the border and 1 the first pixel, kept where the border is zero. NaN lands on the border.
inline float within(float place, int64_t pixels) {
  const float least = place > 0 ? place : 0.0f;
  return least < pixels + 1 ? least : float(pixels + 1);
}

inline Place locate(const float* point_xy, int64_t height, int64_t width) {
  const float x = within(point_xy[0] * width + 0.5f, width), y = within(point_xy[1] * height + 0.5f, height);
  const int32_t column = int32_t(x), row = int32_t(y);
  return {int32_t(row * (width + 3) + column), x - column, y - row};
}

inline int64_t bordered_size(int64_t height, int64_t width) { return (height + 3) * (width + 3); }

// Copies a plane to the middle of one with a border of one pixel above and left, and two below and right.
inline void add_border(const float* plane, int64_t height, int64_t width, float* bordered) {
  std::fill_n(bordered, bordered_size(height, width), 0.0f);
  for (int64_t row = 0; row < height; ++row)
    std::memcpy(bordered + (row + 1) * (width + 3) + 1, plane + row * width, width * sizeof(float));
}

// The distances from 0 of a plane's values at points that lie in it, x and y from 0 to 1. In steps that fill vectors.
inline void sample_distances(const float* bordered, int64_t height, int64_t width, const float* x, const float* y,
                             int64_t count, float* distances) {
  constexpr int64_t STEP = 256;
  int32_t pixel[STEP];
  float right[STEP], below[STEP];
  for (int64_t begin = 0; begin < count; begin += STEP) {
    const int64_t points = std::min(STEP, count - begin);
    for (int64_t point = 0; point < points; ++point) {
      const float column = x[begin + point] * width + 0.5f, row = y[begin + point] * height + 0.5f;
      const int32_t whole_column = int32_t(column), whole_row = int32_t(row);
      right[point] = column - whole_column;
      below[point] = row - whole_row;
      pixel[point] = whole_row * int32_t(width + 3) + whole_column;
    }
    const float* const next_row = bordered + width + 3;
    for (int64_t point = 0; point < points; ++point) {
      const int32_t at = pixel[point];
      const float above = bordered[at] + right[point] * (bordered[at + 1] - bordered[at]);
      const float under = next_row[at] + right[point] * (next_row[at + 1] - next_row[at]);
      distances[begin + point] = std::fabs(above + below[point] * (under - above));
    }
  }
}

// The part of a true mask that is not empty, as a plane with a border. Most points lie outside of it.
class TrueMask {
 public:
  TrueMask(const uint8_t* mask, int64_t height, int64_t width) : full_height_(height), full_width_(width) {
    int64_t left = width, top = height, right = 0, bottom = 0;
    for (int64_t row = 0; row < height; ++row) {
      const uint8_t* const line = mask + row * width;
      int64_t first = 0, last = width;
      while (first < width && line[first] == 0) ++first;
      if (first == width) continue;
      while (line[last - 1] == 0) --last;
      left = std::min(left, first), right = std::max(right, last);
      top = std::min(top, row), bottom = row + 1;
    }
    left_ = std::min(left, right), top_ = std::min(top, bottom);
    width_ = right - left_, height_ = bottom - top_;
    plane_.assign(bordered_size(height_, width_), 0.0f);
    for (int64_t row = 0; row < height_; ++row)
      for (int64_t column = 0; column < width_; ++column)
        plane_[(row + 1) * (width_ + 3) + column + 1] = mask[(top_ + row) * width + left_ + column] != 0;
  }

  // At points x, y from 0 to 1.
  void sample(const float* points_xy, int64_t count, float* values) const {
    const float first_x = 0.5f - left_, first_y = 0.5f - top_;
    for (int64_t point = 0; point < count; ++point) {
      const float x = within(points_xy[2 * point] * full_width_ + first_x, width_),
                  y = within(points_xy[2 * point + 1] * full_height_ + first_y, height_);
      const int32_t column = int32_t(x), row = int32_t(y);
      const float* const top = plane_.data() + row * int32_t(width_ + 3) + column;
      const float* const bottom = top + width_ + 3;
      const float above = top[0] + (x - column) * (top[1] - top[0]);
      const float under = bottom[0] + (x - column) * (bottom[1] - bottom[0]);
      values[point] = above + (y - row) * (under - above);
    }
  }

 private:
  int64_t full_height_, full_width_, left_, top_, height_, width_;
  std::vector<float> plane_;
};

// --- matching: sums over the points of one decoder layer, for a block of queries at once, each in a lane ---

constexpr int LANES = VECTOR_BYTES / sizeof(float);
using Floats = Vector<float, LANES>::type;
using Integers = Vector<int32_t, LANES>::type;

// e^x for x <= 0, to 2 units in the last place; 1e-38 below -87. Taylor's series on half an octave of 2^n.
inline Floats exp_of_negative(Floats x) {
  const Floats least = Floats{} - 87.0f, magic = Floats{} + 12582912.0f;  // 1.5 x 2^23: adding it rounds
  x = x > least ? x : least;
  const Floats n = (x * 1.44269504f + magic) - magic;
  const Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  const Floats third = ((r * (1.0f / 5040) + 1.0f / 720) * r + 1.0f / 120) * r + 1.0f / 24;
  const Floats sum = (((third * r + 1.0f / 6) * r + 0.5f) * r + 1.0f) * r + 1.0f;
  const Integers bits = (__builtin_convertvector(n, Integers) + 127) << 23;
  Floats power;
  std::memcpy(&power, &bits, sizeof(power));
  return sum * power;
}

// True masks at the points of a layer: of each point those that are not zero there.
struct SparseTruth {
  std::vector<int32_t> start, object;
  std::vector<float> value, area;  // area: sum of an object's values

  SparseTruth(const std::vector<TrueMask>& masks, const float* points_xy, int64_t count)
      : start(count + 1, 0), area(masks.size(), 0.0f) {
    std::vector<float> values(masks.size() * count);
    for (size_t g = 0; g < masks.size(); ++g) {
      masks[g].sample(points_xy, count, values.data() + g * count);
      for (int64_t point = 0; point < count; ++point) start[point + 1] += values[g * count + point] != 0;
    }
    for (int64_t point = 0; point < count; ++point) start[point + 1] += start[point];
    object.resize(start[count]);
    value.resize(start[count]);
    std::vector<int32_t> next(start.begin(), start.end() - 1);
    for (size_t g = 0; g < masks.size(); ++g)
      for (int64_t point = 0; point < count; ++point) {
        const float found = values[g * count + point];
        if (found == 0) continue;
        object[next[point]] = g;
        value[next[point]++] = found;
        area[g] += found;
      }
  }
};

// What is summed for a query: softplus and sigmoid of its logits, and logits and sigmoids weighted by each true mask.
struct QuerySums {
  float *softplus, *sigmoid, *logit_in, *sigmoid_in;  // (queries), (queries), (queries, objects), (queries, objects)

  QuerySums from(int64_t query, int64_t objects) const {
    return {softplus + query, sigmoid + query, logit_in + query * objects, sigmoid_in + query * objects};
  }
};

// Interleaves the planes of up to LANES queries, with borders: (pixels, LANES).
inline void interleave(const float* planes, int64_t queries, int64_t height, int64_t width, float* block) {
  constexpr int64_t LINE = 16;  // floats of a cache line
  for (int64_t row = 0; row < height; ++row)
    for (int64_t begin = 0; begin < width; begin += LINE)
      for (int64_t query = 0; query < queries; ++query) {
        const float* const from = planes + (query * height + row) * width;
        float* const to = block + ((row + 1) * (width + 3) + 1) * LANES + query;
        for (int64_t column = begin; column < std::min(begin + LINE, width); ++column) to[column * LANES] = from[column];
      }
}

// Sums over some points, of queries that lie in the lanes of vectors.
struct LaneSums {
  Floats positive{}, sigmoid{}, logs{};
  std::vector<Floats> in;  // of each object: logits, sigmoids

  // Adds points, at most 64: the product of so many numbers up to 2 is a float.
  void add(const float* block, int64_t width, const Place* places, const int32_t* starts, int64_t count,
           const SparseTruth& truth) {
    using V = Vector<float, LANES>;
    const Floats zero{};
    Floats positives{}, sigmoids{}, product = zero + 1.0f;
    for (int64_t point = 0; point < count; ++point) {
      const Place at = places[point];
      const float* const top = block + int64_t(at.pixel) * LANES;
      const float* const bottom = top + (width + 3) * LANES;
      const Floats above = V::load(top) + at.right * (V::load(top + LANES) - V::load(top));
      const Floats under = V::load(bottom) + at.right * (V::load(bottom + LANES) - V::load(bottom));
      const Floats logit = above + at.below * (under - above);
      const Floats e = exp_of_negative(logit > zero ? -logit : logit), inverse = 1.0f / (1.0f + e);
      const Floats probability = logit > zero ? inverse : e * inverse;
      // softplus(x) = max(x, 0) + log(1 + e^-|x|), and the sum of logarithms is that of a product. x - x is NaN where x
      // is not finite, else 0.
      positives += (logit > zero ? logit : zero) + (logit - logit);
      product *= 1.0f + e;
      sigmoids += probability;
      for (int32_t entry = starts[point]; entry < starts[point + 1]; ++entry) {
        Floats* const of_object = in.data() + truth.object[entry] * 2;
        of_object[0] += truth.value[entry] * logit;
        of_object[1] += truth.value[entry] * probability;
      }
    }
    positive += positives;
    sigmoid += sigmoids;
    for (int lane = 0; lane < LANES; ++lane) logs[lane] += std::log(product[lane]);
  }
};

// The sums of up to LANES queries. A logit that is not finite makes the sums of its query NaN.
inline void sum_block(const float* block, int64_t width, const std::vector<Place>& places, const SparseTruth& truth,
                      int64_t queries, QuerySums sums) {
  const int64_t objects = truth.area.size(), count = places.size();
  LaneSums found;
  found.in.assign(2 * objects, Floats{});
  for (int64_t begin = 0; begin < count; begin += 64)
    found.add(block, width, places.data() + begin, truth.start.data() + begin, std::min<int64_t>(64, count - begin),
              truth);
  for (int64_t query = 0; query < queries; ++query) {
    sums.softplus[query] = found.positive[query] + found.logs[query];
    sums.sigmoid[query] = found.sigmoid[query];
    for (int64_t g = 0; g < objects; ++g) {
      sums.logit_in[query * objects + g] = found.in[2 * g][query];
      sums.sigmoid_in[query * objects + g] = found.in[2 * g + 1][query];
    }
  }
}

// --- points of uncertain logits ---

// Blackman and Vigna's xoshiro128++, one generator in each lane, started by splitmix64.
class Random {
 public:
  explicit Random(uint64_t seed) {
    for (auto& word : state_)
      for (int lane = 0; lane < LANES; ++lane) word[lane] = uint32_t(next_seed(seed) >> 32);
  }

  // Uniform in [0, 1), in steps of 2^-24.
  void fill(float* numbers, int64_t count) {
    for (int64_t done = 0; done < count; done += LANES) {
      const Floats drawn = __builtin_convertvector(Integers(next() >> 8), Floats) * 0x1p-24f;
      if (done + LANES <= count)
        Vector<float, LANES>::store(numbers + done, drawn);
      else
        for (int64_t rest = done; rest < count; ++rest) numbers[rest] = drawn[rest - done];
    }
  }

 private:
  using Words = Vector<uint32_t, LANES>::type;
  Words state_[4];

  static uint64_t next_seed(uint64_t& seed) {
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  static Words turn(Words word, int by) { return (word << by) | (word >> (32 - by)); }

  Words next() {
    const Words result = turn(state_[0] + state_[3], 7) + state_[0], shifted = state_[1] << 9;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = turn(state_[3], 11);
    return result;
  }
};

// The bits of the wanted-th smallest of numbers that are not negative, and how many equal to it belong to the smallest.
// Such floats are ordered as their bits are, so digits of them are counted, the highest first.
struct Threshold {
  uint32_t bits = 0;
  int64_t equal = 0;

  Threshold(const std::vector<float>& numbers, int64_t wanted) {
    candidates_.resize(numbers.size());
    std::memcpy(candidates_.data(), numbers.data(), numbers.size() * sizeof(float));
    equal = wanted;
    for (const auto& [shift, width] : {std::pair{20, 12}, {9, 11}, {0, 9}}) {
      const uint32_t mask = (uint32_t(1) << width) - 1;
      // Neighbours count in tables of their own, so that none waits for the one before it.
      std::vector<int32_t> counts(mask + 1, 0), others(mask + 1, 0);
      for (size_t number = 1; number < candidates_.size(); number += 2) {
        ++counts[candidates_[number - 1] >> shift & mask];
        ++others[candidates_[number] >> shift & mask];
      }
      if (candidates_.size() % 2) ++counts[candidates_.back() >> shift & mask];
      for (uint32_t digit = 0; digit <= mask; ++digit) counts[digit] += others[digit];
      uint32_t digit = 0;
      while (digit < mask && equal > counts[digit]) equal -= counts[digit++];
      bits |= digit << shift;
      size_t kept = 0;
      for (const uint32_t number : candidates_)
        if ((number >> shift & mask) == digit) candidates_[kept++] = number;
      candidates_.resize(kept);
    }
  }

 private:
  std::vector<uint32_t> candidates_;
};

// Of `candidates` random points those `uncertain` whose logits are nearest to 0, then `random` further points.
inline void uncertain_points(const float* bordered, int64_t height, int64_t width, int64_t candidates,
                             int64_t uncertain, int64_t random, uint64_t seed, float* points_xy) {
  Random draw(seed);
  std::vector<float> drawn(2 * candidates), distance(candidates);
  draw.fill(drawn.data(), drawn.size());
  const float *const x = drawn.data(), *const y = x + candidates;
  sample_distances(bordered, height, width, x, y, candidates, distance.data());
  if (uncertain > 0) {
    Threshold threshold(distance, uncertain);
    float* const end = points_xy + 2 * uncertain;
    for (int64_t point = 0; point < candidates && points_xy < end; ++point) {
      uint32_t bits;
      std::memcpy(&bits, &distance[point], sizeof(bits));
      const bool tie = bits == threshold.bits, taken = bits < threshold.bits || (tie && threshold.equal > 0);
      threshold.equal -= tie;
      points_xy[0] = x[point];
      points_xy[1] = y[point];
      points_xy += 2 * taken;
    }
  }
  draw.fill(points_xy, 2 * random);
}

}  // namespace points
