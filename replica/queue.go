package replica

// queue is a binary heap: the least item is items[0].
type queue[T any] struct {
	items []T
	less  func(a, b T) bool
	moved func(item T, i int) // told where an item now is; may be nil
}

func (q *queue[T]) len() int { return len(q.items) }

func (q *queue[T]) push(item T) {
	q.items = append(q.items, item)
	q.put(len(q.items)-1, item)
	q.up(len(q.items) - 1)
}

// remove takes out the item at i.
func (q *queue[T]) remove(i int) T {
	item, last := q.items[i], len(q.items)-1
	q.put(i, q.items[last])
	var zero T
	q.items[last] = zero
	q.items = q.items[:last]
	if i < last {
		q.fix(i)
	}
	return item
}

// fix restores the order after the item at i has changed.
func (q *queue[T]) fix(i int) {
	if !q.down(i) {
		q.up(i)
	}
}

func (q *queue[T]) put(i int, item T) {
	q.items[i] = item
	if q.moved != nil {
		q.moved(item, i)
	}
}

func (q *queue[T]) up(i int) {
	item := q.items[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !q.less(item, q.items[parent]) {
			break
		}
		q.put(i, q.items[parent])
		i = parent
	}
	q.put(i, item)
}

func (q *queue[T]) down(i int) bool {
	item, start := q.items[i], i
	for {
		child := 2*i + 1
		if child >= len(q.items) {
			break
		}
		if child+1 < len(q.items) && q.less(q.items[child+1], q.items[child]) {
			child++
		}
		if !q.less(q.items[child], item) {
			break
		}
		q.put(i, q.items[child])
		i = child
	}
	q.put(i, item)
	return i > start
}
