# ONNX's official backend suite: the runner, and every 8th case as a test, through LLVM where it is built in, else through
# libtcc.  Cases come with the onnx package in build/venv (scripts/install --tests makes it); everything: scripts/suite.
if(TARGET driver AND INGOT_WITH_TCC)
  add_executable(onnx_suite ${PROJECT_SOURCE_DIR}/tests/suite/onnx_suite.c ${PROJECT_SOURCE_DIR}/tests/suite/suite_case.c
    ${PROJECT_SOURCE_DIR}/tests/suite/suite_execute.c ${PROJECT_SOURCE_DIR}/tests/suite/suite_table.c)
  target_link_libraries(onnx_suite PRIVATE ${layers} external)
  file(GLOB suite_data ${PROJECT_SOURCE_DIR}/build/venv/lib/python3.*/site-packages/onnx/backend/test/data)
  if(suite_data)
    set(suite_folders "")
    foreach(group node pytorch-converted pytorch-operator simple)
      list(APPEND suite_folders ${suite_data}/${group})
    endforeach()
    set(suite_backend c)
    if(INGOT_WITH_LLVM)
      set(suite_backend llvm)
    endif()
    add_test(NAME suite_quick COMMAND onnx_suite --backend=${suite_backend} --mode=given --every=8
      --minimum=${PROJECT_SOURCE_DIR}/tests/suite/minimum_quick.txt ${suite_folders})
    set_tests_properties(suite_quick PROPERTIES LABELS suite TIMEOUT 1800)
  endif()
endif()
