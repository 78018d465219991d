// Several numbers that are computed with as one.

#pragma once

#include <cstring>

// Of the vectors computed with. Those of 64 bytes, where there are any, took a fifth longer.
#if defined(__AVX__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

// N numbers; N is a power of 2.
template <typename T, int N>
struct Vector {
  typedef T type __attribute__((vector_size(N * sizeof(T))));

  static type load(const T* from) {
    type vector;
    std::memcpy(&vector, from, sizeof(vector));
    return vector;
  }

  static void store(T* to, type vector) { std::memcpy(to, &vector, sizeof(vector)); }

  // Adds halves, then halves of these.
  static T sum(type vector) {
    if constexpr (N == 1) {
      return vector[0];
    } else {
      typename Vector<T, N / 2>::type low, high;
      std::memcpy(&low, &vector, sizeof(low));
      std::memcpy(&high, reinterpret_cast<const char*>(&vector) + sizeof(low), sizeof(high));
      return Vector<T, N / 2>::sum(low + high);
    }
  }
};
