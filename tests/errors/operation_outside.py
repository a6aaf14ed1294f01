# expect: tile.zeros is called outside a kernel
# caret: -
# hint: decorate the function with @tile_kernel or @tile_function


tile.zeros((4,), tile.f32)
