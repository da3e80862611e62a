def page(root):
    return "# x\n"
