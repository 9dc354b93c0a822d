#pragma once

#include <cstddef>
#include <cstdint>

namespace penstock::amf {

// AMF0 specification, 2.1. 04 (movieclip) and 0E (recordset) are reserved and never valid.
namespace amf0 {
constexpr uint8_t number = 0x00;
constexpr uint8_t boolean = 0x01;
constexpr uint8_t string = 0x02;
constexpr uint8_t object = 0x03;
constexpr uint8_t null = 0x05;
constexpr uint8_t undefined = 0x06;
constexpr uint8_t reference = 0x07;
constexpr uint8_t ecma_array = 0x08;
constexpr uint8_t object_end = 0x09;
constexpr uint8_t strict_array = 0x0A;
constexpr uint8_t date = 0x0B;
constexpr uint8_t long_string = 0x0C;
constexpr uint8_t unsupported = 0x0D;
constexpr uint8_t xml_document = 0x0F;
constexpr uint8_t typed_object = 0x10;
constexpr uint8_t amf3 = 0x11;
}  // namespace amf0

// AMF3 specification, 3.1.
namespace amf3 {
constexpr uint8_t undefined = 0x00;
constexpr uint8_t null = 0x01;
constexpr uint8_t boolean_false = 0x02;
constexpr uint8_t boolean_true = 0x03;
constexpr uint8_t integer = 0x04;
constexpr uint8_t number = 0x05;
constexpr uint8_t string = 0x06;
constexpr uint8_t xml_document = 0x07;
constexpr uint8_t date = 0x08;
constexpr uint8_t array = 0x09;
constexpr uint8_t object = 0x0A;
constexpr uint8_t xml = 0x0B;
constexpr uint8_t byte_array = 0x0C;
constexpr uint8_t vector_int = 0x0D;
constexpr uint8_t vector_uint = 0x0E;
constexpr uint8_t vector_double = 0x0F;
constexpr uint8_t vector_object = 0x10;
constexpr uint8_t dictionary = 0x11;

// 29 bits, signed. What does not fit travels as a double.
constexpr double integer_min = -268435456;
constexpr double integer_max = 268435455;
}  // namespace amf3

}  // namespace penstock::amf
