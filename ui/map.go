package ui

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// mapPart is the drawing of the members and of what is between them, in a box of mapWidth by mapHeight. The table of
// members says the same in words.
type mapPart struct {
	Nodes []mapNode `json:"nodes"`
	Links [][4]int  `json:"links"` // from x, y to x, y: both answer the page, and gossip passes
	Walls []mapWall `json:"walls"`
	Label string    `json:"label"` // what is to be seen, in words
}

// mapNode is a member at its place on the ring.
type mapNode struct {
	Name  string `json:"name"`
	State string `json:"state"` // as in nodePart
	Leads string `json:"leads,omitempty"`
	X     int    `json:"x"`
	Y     int    `json:"y"`
}

// mapWall is between two members that both answer the page while one holds the other for dead.
type mapWall struct {
	Between [2]string `json:"between"`
	Link    [4]int    `json:"link"`
	Bar     [4]int    `json:"bar"` // across the middle of the link
}

const (
	mapWidth, mapHeight = 440, 290
	mapRadiusX          = 160
	mapRadiusY          = 95
	mapBar              = 13 // half of a wall's length
	maxMapNodes         = 16 // with more of them nobody could read the map
)

func (w *world) mapPart(groups []groupPart) mapPart {
	names := w.names()
	if len(names) > maxMapNodes {
		return mapPart{Nodes: []mapNode{}, Links: [][4]int{}, Walls: []mapWall{}, Label: fmt.Sprintf("The map has no room for %d members: the table has them all.", len(names))}
	}
	p := mapPart{Nodes: ring(names), Links: [][4]int{}, Walls: []mapWall{}}
	gossip := map[string]map[string]string{}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		part := w.nodePart(n.Name)
		n.State, gossip[n.Name] = part.State, part.Gossip
		n.Leads = strings.Join(ledBy(groups, n.Name), ", ")
	}
	for i, a := range p.Nodes {
		for _, b := range p.Nodes[i+1:] {
			link := [4]int{a.X, a.Y, b.X, b.Y}
			switch {
			case a.State != "up" || b.State != "up":
			case gossip[a.Name][b.Name] == "dead" || gossip[b.Name][a.Name] == "dead":
				p.Walls = append(p.Walls, mapWall{[2]string{a.Name, b.Name}, link, across(link)})
			default:
				p.Links = append(p.Links, link)
			}
		}
	}
	p.Label = p.label()
	return p
}

// ring places names on an ellipse, the first at the top, clockwise.
func ring(names []string) []mapNode {
	nodes := make([]mapNode, len(names))
	for i, name := range names {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(len(names)))
		nodes[i] = mapNode{Name: name, X: mapWidth/2 + int(math.Round(mapRadiusX*sin)), Y: mapHeight/2 - 18 - int(math.Round(mapRadiusY*cos))}
	}
	return nodes
}

// across is a short line at a right angle to another, through its middle.
func across(link [4]int) [4]int {
	dx, dy := float64(link[2]-link[0]), float64(link[3]-link[1])
	length := max(math.Hypot(dx, dy), 1)
	x, y := (link[0]+link[2])/2, (link[1]+link[3])/2
	bx, by := int(math.Round(-dy/length*mapBar)), int(math.Round(dx/length*mapBar))
	return [4]int{x - bx, y - by, x + bx, y + by}
}

// ledBy are the groups that a node leads with a majority.
func ledBy(groups []groupPart, name string) (led []string) {
	for i := range groups {
		if groups[i].Leader == name && groups[i].Quorum {
			led = append(led, groups[i].Name)
		}
	}
	return led
}

// label says who cannot hear whom: the sides, if the walls part the members that answer, or else each pair.
func (p *mapPart) label() string {
	sides := p.sides()
	switch {
	case len(p.Walls) == 0:
		return "Nobody is cut off: all that answer hear each other."
	case len(sides) > 1:
		var texts []string
		for _, side := range sides {
			texts = append(texts, strings.Join(side, " "))
		}
		return "CUT between " + strings.Join(texts, " | ")
	}
	var pairs []string
	for _, wall := range p.Walls {
		pairs = append(pairs, wall.Between[0]+" and "+wall.Between[1])
	}
	return "CUT between " + strings.Join(pairs, ", ")
}

// sides are the members that answer, those together that no wall parts.
func (p *mapPart) sides() (sides [][]string) {
	parted := func(a, b string) bool {
		return slices.ContainsFunc(p.Walls, func(w mapWall) bool { return w.Between == [2]string{a, b} || w.Between == [2]string{b, a} })
	}
	var left []string
	for _, n := range p.Nodes {
		if n.State == "up" {
			left = append(left, n.Name)
		}
	}
	for len(left) > 0 {
		side := left[:1:1]
		left = left[1:]
		for i := 0; i < len(side); i++ { // it grows by those who reach one that is in it
			var apart []string
			for _, other := range left {
				if parted(side[i], other) {
					apart = append(apart, other)
				} else {
					side = append(side, other)
				}
			}
			left = apart
		}
		sides = append(sides, side)
	}
	return sides
}
