# Tests: every tests/unit/*.c is one cmocka binary, linked to all layers, with the CTest label `unit`.
# Whatever else belongs into CTest (goldens, numerics, models) is added by tests/*.cmake, found by glob.

find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME layers COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/layers.py)
endif()

find_library(CMOCKA_LIBRARY cmocka)
file(GLOB unit_tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/unit/*.c)
if(NOT CMOCKA_LIBRARY)
  message(WARNING "cmocka is missing: no unit tests (scripts/install gets it)")
  set(unit_tests "")
endif()
foreach(source ${unit_tests})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/base ${PROJECT_SOURCE_DIR}/ir
    ${PROJECT_SOURCE_DIR}/frontend ${PROJECT_SOURCE_DIR}/passes ${PROJECT_SOURCE_DIR}/codegen
    ${PROJECT_SOURCE_DIR}/driver ${PROJECT_SOURCE_DIR}/include)
  # Where tests find their data; never compiled into the product.
  target_compile_definitions(${name} PRIVATE INGOT_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    INGOT_BINARY_DIR="${PROJECT_BINARY_DIR}")
  target_link_libraries(${name} PRIVATE ${layers} external ${CMOCKA_LIBRARY})
  add_test(NAME unit/${name} COMMAND ${name})
  set_tests_properties(unit/${name} PROPERTIES LABELS unit TIMEOUT 1800)
endforeach()

file(GLOB more_tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/*.cmake)
foreach(file ${more_tests})
  include(${file})
endforeach()
