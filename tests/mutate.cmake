# Mutants of models and of texts (tests/mutate), docs/fuzzing.md.  Label mutants: found failures, which stay as files in
# tests/mutate/regress, and 500 mutants of each kind.  scripts/fuzz runs all of them, with sanitizers.
if(TARGET driver)
  file(GLOB mutate_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/mutate/*.c)
  add_executable(run_mutants ${mutate_sources})
  target_link_libraries(run_mutants PRIVATE ${layers} external)
  add_test(NAME mutants_regress COMMAND run_mutants --replay --save=${PROJECT_BINARY_DIR}/mutants
    ${PROJECT_SOURCE_DIR}/tests/mutate/regress)
  # Without the onnx package of build/venv, mutants of the example and of earlier failures are all there is.
  set(mutate_seeds ${PROJECT_SOURCE_DIR}/examples/digits ${PROJECT_SOURCE_DIR}/tests/mutate/regress)
  file(GLOB mutate_data ${PROJECT_SOURCE_DIR}/build/venv/lib/python3.*/site-packages/onnx/backend/test/data)
  foreach(group node pytorch-converted pytorch-operator simple)
    if(mutate_data)
      list(APPEND mutate_seeds ${mutate_data}/${group})
    endif()
  endforeach()
  foreach(kind onnx graph loop)
    add_test(NAME mutants_${kind} COMMAND run_mutants --kind=${kind} --count=500 --sample=100
      --save=${PROJECT_BINARY_DIR}/mutants ${mutate_seeds})
    set_tests_properties(mutants_${kind} PROPERTIES LABELS mutants TIMEOUT 1800)
  endforeach()
  set_tests_properties(mutants_regress PROPERTIES LABELS mutants TIMEOUT 1800)
endif()
