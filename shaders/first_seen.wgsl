// Shared: the first key that a query sees, where the beginnings of texts [batch, length] are bound.

fn first_seen(batch: u32, position: u32) -> u32 {
    let end = end_seen(position);
    let first = end - min(end, parameters.window);
    if parameters.packed == 0u {
        return first;
    }
    return max(first, u32(beginnings[batch * parameters.length + position]));
}
