/*
 * interval_tree: see interval_tree.h. Recursion goes as deep as the tree is high: 1.44 times the binary
 * logarithm of the number of ranges, whatever order they come in.
 */
#include "proxy/watch/interval_tree.h"

int range_end_compare(struct bytes a, struct bytes b) {
    if (range_is_open(a) || range_is_open(b))
        return range_is_open(a) - range_is_open(b);
    return bytes_compare(a, b);
}

static int order(struct bytes key, struct bytes range_end, const struct interest *node) {
    int keys = bytes_compare(key, node->key);
    return keys != 0 ? keys : range_end_compare(range_end, node->range_end);
}

static int height(const struct interest *node) {
    return node == NULL ? 0 : node->height;
}

static struct interest *further(struct interest *best, const struct interest *child) {
    if (child == NULL || range_end_compare(child->furthest->range_end, best->range_end) <= 0)
        return best;
    return child->furthest;
}

/* Height and furthest end from those of the children. */
static void refresh(struct interest *node) {
    int left = height(node->left);
    int right = height(node->right);
    node->height = 1 + (left > right ? left : right);
    node->furthest = further(further(node, node->left), node->right);
}

static struct interest *rotate_right(struct interest *node) {
    struct interest *top = node->left;
    node->left = top->right;
    top->right = node;
    refresh(node);
    refresh(top);
    return top;
}

static struct interest *rotate_left(struct interest *node) {
    struct interest *top = node->right;
    node->right = top->left;
    top->left = node;
    refresh(node);
    refresh(top);
    return top;
}

static struct interest *balance(struct interest *node) {
    int lean = height(node->left) - height(node->right);
    if (lean > 1) {
        if (height(node->left->left) < height(node->left->right))
            node->left = rotate_left(node->left);
        return rotate_right(node);
    }
    if (lean < -1) {
        if (height(node->right->right) < height(node->right->left))
            node->right = rotate_right(node->right);
        return rotate_left(node);
    }
    refresh(node);
    return node;
}

struct interest *interval_find(struct interest *root, struct bytes key, struct bytes range_end) {
    struct interest *node = root;
    while (node != NULL) {
        int side = order(key, range_end, node);
        if (side == 0)
            break;
        node = side < 0 ? node->left : node->right;
    }
    return node;
}

struct interest *interval_add(struct interest *root, struct interest *interest) {
    if (root == NULL) {
        interest->left = interest->right = NULL;
        refresh(interest);
        return interest;
    }
    if (order(interest->key, interest->range_end, root) < 0)
        root->left = interval_add(root->left, interest);
    else
        root->right = interval_add(root->right, interest);
    return balance(root);
}

static struct interest *take_first(struct interest *root, struct interest **first) {
    if (root->left == NULL) {
        *first = root;
        return root->right;
    }
    root->left = take_first(root->left, first);
    return balance(root);
}

struct interest *interval_remove(struct interest *root, struct interest *interest) {
    REQUIRE(root != NULL);
    int side = order(interest->key, interest->range_end, root);
    if (side < 0) {
        root->left = interval_remove(root->left, interest);
    } else if (side > 0) {
        root->right = interval_remove(root->right, interest);
    } else {
        if (root->left == NULL)
            return root->right;
        if (root->right == NULL)
            return root->left;
        struct interest *next = NULL;
        struct interest *right = take_first(root->right, &next);
        next->left = root->left;
        next->right = right;
        root = next;
    }
    return balance(root);
}

static bool ends_before(struct bytes range_end, struct bytes key) {
    return !range_is_open(range_end) && bytes_compare(range_end, key) <= 0;
}

void interval_match(struct interest *root, struct bytes key, struct interest_list *out) {
    while (root != NULL && !ends_before(root->furthest->range_end, key)) {
        interval_match(root->left, key, out);
        if (bytes_compare(root->key, key) > 0)
            return; /* and so begins everything to the right */
        if (!ends_before(root->range_end, key))
            interest_list_add(out, root);
        root = root->right;
    }
}

void interval_all(struct interest *root, struct interest_list *out) {
    if (root == NULL)
        return;
    interval_all(root->left, out);
    interest_list_add(out, root);
    interval_all(root->right, out);
}
