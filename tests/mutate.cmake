# Mutants of models and of texts (tests/mutate).  Found failures stay as files in tests/mutate/regress and run in every build;
# 500 new mutants of each kind run with the other tests; scripts/fuzz, or label slow, runs all of them.
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
  foreach(row onnx:500:20000:400 graph:500:5000:100 loop:500:5000:100)
    string(REPLACE ":" ";" row ${row})
    list(GET row 0 kind)
    list(GET row 1 few)
    list(GET row 2 many)
    list(GET row 3 sample)
    add_test(NAME mutants_quick_${kind} COMMAND run_mutants --kind=${kind} --count=${few} --sample=50
      --save=${PROJECT_BINARY_DIR}/mutants ${mutate_seeds})
    add_test(NAME mutants_${kind} COMMAND run_mutants --kind=${kind} --count=${many} --sample=${sample} --seed=2
      --save=${PROJECT_BINARY_DIR}/mutants ${mutate_seeds})
    set_tests_properties(mutants_quick_${kind} PROPERTIES LABELS mutants TIMEOUT 600)
    set_tests_properties(mutants_${kind} PROPERTIES LABELS slow TIMEOUT 3600)
  endforeach()
  set_tests_properties(mutants_regress PROPERTIES LABELS mutants TIMEOUT 600)
endif()
