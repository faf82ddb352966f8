# The sweep of the math builders as compiled; CTest runs it coarsely (label ulp), docs/math.md tells how to run it in full.
if(INGOT_WITH_LLVM AND TARGET codegen)
  add_executable(ulp_sweep ${PROJECT_SOURCE_DIR}/tools/ulp_sweep.c)
  target_include_directories(ulp_sweep PRIVATE ${PROJECT_SOURCE_DIR}/base ${PROJECT_SOURCE_DIR}/ir
    ${PROJECT_SOURCE_DIR}/codegen)
  target_link_libraries(ulp_sweep PRIVATE codegen ir base external)
  foreach(row exp:1.05 expm1:1.15 log:0.95 log1p:1 sin:0.9 cos:0.9 tanh:2.6 erf:2.5 sigmoid:2.45 softplus:1.8 tan:0.51)
    string(REPLACE ":" ";" row ${row})
    list(GET row 0 function)
    list(GET row 1 bound)
    add_test(NAME ulp/${function} COMMAND ulp_sweep ${function} --stride 4099 --bound ${bound})
    set_tests_properties(ulp/${function} PROPERTIES LABELS ulp TIMEOUT 1800)
  endforeach()
endif()
